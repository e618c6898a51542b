import { db } from "@/lib/db";

export async function GET(request: Request) {
    const id = Number(new URL(request.url).searchParams.get("id"));
    return Response.json(await db.customer.findUnique({ where: { id }, include: { purchase: true } }));
}
